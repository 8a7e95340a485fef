// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";
import {WrappedSalt, newWrappedSalt} from "../support/Contracts.sol";
import {WrappedSaltTest} from "./WrappedSaltTest.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

/// @notice What holds for each of the three functions that transfer by authorization. Their own files say how each is
/// signed and submitted, and what it does beyond this.
abstract contract AuthorizationTest is WrappedSaltTest {
    /// @dev Of all three kinds; treasury and fee belong to one alone.
    struct Authorization {
        address from;
        address to;
        address treasury;
        uint256 value;
        uint256 fee;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// @dev The hash that is signed for this kind.
    function structHashOf(Authorization memory authorization) internal pure virtual returns (bytes32);

    /// @dev Submits as whoever may.
    function submit(WrappedSalt to, Authorization memory authorization, Signature memory signature) internal virtual;

    /// @dev How this kind refuses a signature.
    function invalidSignature(address from) internal pure virtual returns (bytes memory);

    /// @dev The fee that the tests below use; zero where there is none.
    function feeOf(uint256 value) internal pure virtual returns (uint256);

    function test_authorization_movesTheValue() external {
        Authorization memory authorization = authorize(10 ether);

        submit(token, authorization, signed(authorization));

        assertEq(token.balanceOf(holder.addr), FUNDS - 10 ether);
        assertEq(token.balanceOf(payee), 10 ether - feeOf(10 ether));
        assertEq(token.balanceOf(treasury), feeOf(10 ether));
        assertTrue(token.authorizationState(holder.addr, authorization.nonce));
    }

    function test_authorization_saysThatItWasUsed() external {
        Authorization memory authorization = authorize(10 ether);
        Signature memory signature = signed(authorization);

        vm.expectEmit(address(token));
        emit IWrappedSalt.AuthorizationUsed(holder.addr, authorization.nonce);
        submit(token, authorization, signature);
    }

    function test_authorization_isValidUntilTheSecondBeforeItsEnd() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.validBefore = NOW + 1;

        submit(token, authorization, signed(authorization));
    }

    function test_authorization_isValidFromTheSecondAfterItsStart() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.validAfter = NOW - 1;

        submit(token, authorization, signed(authorization));
    }

    function test_authorization_reverts_atItsStart() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.validAfter = NOW;

        expectRefusal(authorization, abi.encodeWithSelector(IWrappedSalt.AuthorizationNotYetValid.selector, NOW, NOW));
    }

    function test_authorization_reverts_atItsEnd() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.validBefore = NOW;

        expectRefusal(authorization, abi.encodeWithSelector(IWrappedSalt.AuthorizationExpired.selector, NOW, NOW));
    }

    function test_authorization_reverts_whenUsed() external {
        Authorization memory authorization = authorize(10 ether);
        submit(token, authorization, signed(authorization));

        expectRefusal(
            authorization,
            abi.encodeWithSelector(IWrappedSalt.AuthorizationSpent.selector, holder.addr, authorization.nonce)
        );
    }

    function test_authorization_reverts_whenCanceled() external {
        Authorization memory authorization = authorize(10 ether);
        Signature memory cancellation = sign(
            holder.privateKey,
            domainSeparator(address(token), block.chainid),
            keccak256(
                abi.encode(
                    keccak256("CancelAuthorization(address authorizer,bytes32 nonce)"), holder.addr, authorization.nonce
                )
            )
        );
        token.cancelAuthorization(holder.addr, authorization.nonce, cancellation.v, cancellation.r, cancellation.s);

        expectRefusal(
            authorization,
            abi.encodeWithSelector(IWrappedSalt.AuthorizationSpent.selector, holder.addr, authorization.nonce)
        );
    }

    function test_authorization_reverts_whenSignatureIsMalleated() external {
        Authorization memory authorization = authorize(10 ether);
        Signature memory highS = malleated(signed(authorization));

        vm.expectRevert(invalidSignature(holder.addr));
        submit(token, authorization, highS);
    }

    function test_authorization_reverts_whenSignedByAnother() external {
        Authorization memory authorization = authorize(10 ether);
        (, uint256 otherKey) = makeAddrAndKey("another");
        Signature memory signature =
            sign(otherKey, domainSeparator(address(token), block.chainid), structHashOf(authorization));

        vm.expectRevert(invalidSignature(holder.addr));
        submit(token, authorization, signature);
    }

    function test_authorization_reverts_whenNobodySigned() external {
        Authorization memory authorization = authorize(0);
        authorization.from = address(0);

        vm.expectRevert(invalidSignature(address(0)));
        submit(token, authorization, Signature({v: 27, r: bytes32(0), s: bytes32(0)}));
    }

    function test_authorization_reverts_whenSignedForAnotherChain() external {
        Authorization memory authorization = authorize(10 ether);
        Signature memory signature = signed(authorization);
        vm.chainId(block.chainid + 1);

        vm.expectRevert(invalidSignature(holder.addr));
        submit(token, authorization, signature);
    }

    function test_authorization_followsAChainIdThatChanges() external {
        vm.chainId(40204);
        Authorization memory authorization = authorize(10 ether);

        submit(token, authorization, signed(authorization));
    }

    function test_authorization_reverts_whenSignedForAnotherToken() external {
        Authorization memory authorization = authorize(10 ether);
        Signature memory signature = signed(authorization);
        WrappedSalt another = newWrappedSalt();

        vm.expectRevert(invalidSignature(holder.addr));
        submit(another, authorization, signature);
    }

    function test_authorization_reverts_whenBalanceIsTooSmall() external {
        Authorization memory authorization = authorize(FUNDS + 1);
        Signature memory signature = signed(authorization);

        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientBalance.selector);
        submit(token, authorization, signature);
        assertFalse(token.authorizationState(holder.addr, authorization.nonce));
    }

    function test_authorization_reverts_whenPayeeIsZero() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.to = address(0);
        Signature memory signature = signed(authorization);

        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
        submit(token, authorization, signature);
    }

    /// @dev Code at the payer's address, as EIP-7702 puts it there, does not take the key's word away.
    function test_authorization_isTakenFromTheKeyOfAnAccountWithCode() external {
        vm.etch(holder.addr, hex"00");
        Authorization memory authorization = authorize(10 ether);

        submit(token, authorization, signed(authorization));
    }

    function testFuzz_authorization_movesAnyValue(
        uint256 privateKey,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce
    ) external {
        privateKey = bound(privateKey, 1, CURVE_ORDER - 1);
        Authorization memory authorization = Authorization({
            from: vm.addr(privateKey),
            to: to,
            treasury: treasury,
            value: bound(value, 0, type(uint128).max),
            fee: 0,
            validAfter: bound(validAfter, 0, NOW - 1),
            validBefore: bound(validBefore, NOW + 1, type(uint256).max),
            nonce: nonce
        });
        authorization.fee = feeOf(authorization.value);
        vm.assume(to != address(0) && to != authorization.from && to != treasury && to != holder.addr);
        vm.assume(authorization.from != treasury && authorization.from != holder.addr);
        vm.deal(authorization.from, authorization.value);
        vm.prank(authorization.from);
        (bool wrapped,) = address(token).call{value: authorization.value}("");
        assertTrue(wrapped);
        Signature memory signature =
            sign(privateKey, domainSeparator(address(token), block.chainid), structHashOf(authorization));

        submit(token, authorization, signature);

        assertEq(token.balanceOf(authorization.from), 0);
        assertEq(token.balanceOf(to), authorization.value - authorization.fee);
        assertEq(token.balanceOf(treasury), authorization.fee);
        assertTrue(token.authorizationState(authorization.from, nonce));
    }

    function testFuzz_authorization_reverts_whenAnyBitOfTheSignatureIsFlipped(uint256 part, uint256 bit) external {
        Authorization memory authorization = authorize(10 ether);
        Signature memory signature = signed(authorization);
        part = bound(part, 0, 2);
        bit = bound(bit, 0, part == 0 ? 7 : 255);
        uint256 mask = 2 ** bit;
        // forge-lint: disable-next-line(unsafe-typecast)
        if (part == 0) signature.v ^= uint8(mask);
        if (part == 1) signature.r ^= bytes32(mask);
        if (part == 2) signature.s ^= bytes32(mask);

        vm.expectRevert(invalidSignature(holder.addr));
        submit(token, authorization, signature);
    }

    function testFuzz_authorization_reverts_whenAnyBitOfItsFieldsIsFlipped(uint256 field, uint256 bit) external {
        Authorization memory authorization = authorize(10 ether);
        // Wide enough that a flipped bit leaves most times valid; which refusal it is does not matter here.
        authorization.validBefore = type(uint256).max - 1;
        Signature memory signature = signed(authorization);
        field = bound(field, 0, feeOf(1 ether) == 0 ? 5 : 7);
        bit = bound(bit, 0, field < 2 || field == 7 ? 159 : 255);
        uint256 mask = 2 ** bit;
        if (field == 0) authorization.from = flipped(authorization.from, mask);
        if (field == 1) authorization.to = flipped(authorization.to, mask);
        if (field == 2) authorization.value ^= mask;
        if (field == 3) authorization.validAfter ^= mask;
        if (field == 4) authorization.validBefore ^= mask;
        if (field == 5) authorization.nonce ^= bytes32(mask);
        if (field == 6) authorization.fee ^= mask;
        if (field == 7) authorization.treasury = flipped(authorization.treasury, mask);

        vm.expectRevert();
        submit(token, authorization, signature);
        assertEq(token.balanceOf(holder.addr), FUNDS);
    }

    function authorize(uint256 value) internal view returns (Authorization memory) {
        return Authorization({
            from: holder.addr,
            to: payee,
            treasury: treasury,
            value: value,
            fee: feeOf(value),
            validAfter: 0,
            validBefore: NOW + 1 hours,
            nonce: keccak256("nonce")
        });
    }

    function signed(Authorization memory authorization) internal view returns (Signature memory) {
        return sign(holder.privateKey, domainSeparator(address(token), block.chainid), structHashOf(authorization));
    }

    function flipped(address account, uint256 mask) private pure returns (address) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return address(uint160(account) ^ uint160(mask));
    }

    function expectRefusal(Authorization memory authorization, bytes memory refusal) internal {
        Signature memory signature = signed(authorization);
        vm.expectRevert(refusal);
        submit(token, authorization, signature);
    }
}
