// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402Permit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {X402Test} from "../X402/X402Test.sol";
import {OpenZeppelinToken} from "../mocks/OpenZeppelinToken.sol";
import {SoladyToken} from "../mocks/SoladyToken.sol";
import {
    X402ExactPermit2Proxy,
    X402UptoPermit2Proxy,
    newX402ExactPermit2Proxy,
    newX402UptoPermit2Proxy
} from "../support/Contracts.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @notice What settling costs in Salt through the real Permit2, as whole transactions. The figures are kept in
/// `snapshots/`.
contract X402Gas is X402Test {
    X402ExactPermit2Proxy private exact;
    X402UptoPermit2Proxy private upto;
    uint256 private words;

    function setUp() public override {
        super.setUp();
        exact = newX402ExactPermit2Proxy(permit2);
        upto = newX402UptoPermit2Proxy(permit2);
        vm.prank(payer.addr);
        assertTrue(token.transfer(payee, 1 ether));
    }

    function test_gas_exact_randomNonce() external {
        settleExact(paymentOf(address(token), AMOUNT));
        vm.snapshotGasLastCall("X402", "exact, random nonce");
    }

    function test_gas_exact_nonceInAUsedWord() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        settleExact(payment);
        payment.nonce ^= 1;
        settleExact(payment);
        vm.snapshotGasLastCall("X402", "exact, nonce in a used word");
    }

    function test_gas_exact_withPermit() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        vm.prank(payer.addr);
        token.approve(permit2, 0);
        bytes memory signature = packed(payer.privateKey, exactDigestOf(payment, address(exact)));
        IX402Permit2Proxy.EIP2612Permit memory permit = permit2612Of(AMOUNT, NOW + 60);

        vm.prank(facilitator);
        exact.settleWithPermit(permit, permitOf(payment), payer.addr, exactWitnessOf(payment), signature);
        vm.snapshotGasLastCall("X402", "exact, random nonce, first EIP-2612 permit");
    }

    function test_gas_upto_randomNonce() external {
        settleUpto(paymentOf(address(token), AMOUNT));
        vm.snapshotGasLastCall("X402", "upto, random nonce");
    }

    function test_gas_upto_nonceInAUsedWord() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        settleUpto(payment);
        payment.nonce ^= 1;
        settleUpto(payment);
        vm.snapshotGasLastCall("X402", "upto, nonce in a used word");
    }

    /// @dev As x402's own proxies were measured: a token of OpenZeppelin's library, and nonces that are counted.
    function test_gas_exact_ofLibraries() external {
        settleExactly("OpenZeppelin", address(new OpenZeppelinToken(payer.addr, FUNDS)));
        settleExactly("Solady", address(new SoladyToken(payer.addr, FUNDS)));
    }

    function test_gas_upto_ofLibraries() external {
        address openZeppelin = address(new OpenZeppelinToken(payer.addr, FUNDS));
        fund(openZeppelin);
        settleUpto(paymentOf(openZeppelin, AMOUNT));
        vm.snapshotGasLastCall("X402", "upto, random nonce, token of OpenZeppelin");
        address solady = address(new SoladyToken(payer.addr, FUNDS));
        fund(solady);
        Payment memory payment = paymentOf(solady, AMOUNT);
        // Of another word, so that its slot is as new.
        payment.nonce = uint256(keccak256("another nonce"));
        settleUpto(payment);
        vm.snapshotGasLastCall("X402", "upto, random nonce, token of Solady");
    }

    function settleExactly(string memory library_, address asset) private {
        fund(asset);
        Payment memory payment = paymentOf(asset, AMOUNT);
        payment.nonce = uint256(keccak256(bytes(library_)));
        settleExact(payment);
        vm.snapshotGasLastCall("X402", string.concat("exact, random nonce, token of ", library_));

        payment.nonce = (++words << 8) + 1;
        settleExact(payment);
        ++payment.nonce;
        settleExact(payment);
        vm.snapshotGasLastCall("X402", string.concat("exact, counted nonce in a used word, token of ", library_));
    }

    function fund(address asset) private {
        vm.startPrank(payer.addr);
        assertTrue(IERC20(asset).transfer(payee, 1 ether));
        IERC20(asset).approve(permit2, type(uint256).max);
        vm.stopPrank();
    }

    function settleExact(Payment memory payment) private {
        bytes memory signature = packed(payer.privateKey, exactDigestOf(payment, address(exact)));
        vm.prank(facilitator);
        exact.settle(permitOf(payment), payer.addr, exactWitnessOf(payment), signature);
    }

    function settleUpto(Payment memory payment) private {
        bytes memory signature = packed(payer.privateKey, uptoDigestOf(payment, address(upto)));
        vm.prank(facilitator);
        upto.settle(permitOf(payment), AMOUNT / 3, payer.addr, uptoWitnessOf(payment), signature);
    }
}
