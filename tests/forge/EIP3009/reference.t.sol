// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Salt, WrappedSalt, newSalt, newWrappedSalt} from "../support/Contracts.sol";
import {IUsdc, UsdcCode} from "../support/UsdcCode.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test, Vm} from "forge-std/Test.sol";

/// @notice A payment by EIP-3009 needs no contract of ours: its nonce is the reference, and the token's own events
/// prove it. This holds for wSALT, for Salt, and for USDC as Circle compiled it.
contract EIP3009_reference is Test {
    uint256 private constant NOW = 1_800_000_000;
    uint256 private constant AMOUNT = 1_500_000;
    bytes32 private constant REFERENCE = keccak256("quote");
    bytes32 private constant AUTHORIZATION_USED = keccak256("AuthorizationUsed(address,bytes32)");

    Vm.Wallet private payer;
    address private payee = makeAddr("payee");
    address private relayer = makeAddr("relayer");
    WrappedSalt private wrappedSalt;
    Salt private salt;
    IUsdc private usdc;

    function setUp() external {
        vm.warp(NOW);
        payer = vm.createWallet("payer");
        wrappedSalt = newWrappedSalt();
        salt = newSalt(payer.addr, 10 * AMOUNT);
        usdc = UsdcCode.deploy(address(this));
        usdc.mint(payer.addr, 10 * AMOUNT);
        vm.deal(payer.addr, 10 * AMOUNT);
        vm.prank(payer.addr);
        wrappedSalt.deposit{value: 10 * AMOUNT}();
    }

    function test_reference_isProvenByWrappedSalt() external {
        proves(address(wrappedSalt), callWithParts(domainOf("Wrapped SALT", "1", address(wrappedSalt))));
    }

    function test_reference_isProvenBySalt() external {
        proves(address(salt), callWithParts(domainOf("Salt", "1", address(salt))));
    }

    function test_reference_isProvenBySalt_bytes() external {
        proves(address(salt), callWithBytes(domainOf("Salt", "1", address(salt))));
    }

    function test_reference_isProvenByUsdc() external {
        proves(address(usdc), callWithParts(domainOf("USD Coin", "2", address(usdc))));
    }

    function test_reference_isProvenByUsdc_bytes() external {
        proves(address(usdc), callWithBytes(domainOf("USD Coin", "2", address(usdc))));
    }

    /// @dev The two events stand one after the other, name payer, reference, payee and amount, and come once.
    function proves(address token, bytes memory call) private {
        vm.recordLogs();
        vm.prank(relayer);
        (bool done,) = token.call(call);
        assertTrue(done);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 2);
        assertEq(logs[0].emitter, token);
        assertEq(logs[0].topics[0], AUTHORIZATION_USED);
        assertEq(logs[0].topics[1], bytes32(uint256(uint160(payer.addr))));
        assertEq(logs[0].topics[2], REFERENCE);
        assertEq(logs[1].emitter, token);
        assertEq(logs[1].topics[0], IERC20.Transfer.selector);
        assertEq(logs[1].topics[1], bytes32(uint256(uint160(payer.addr))));
        assertEq(logs[1].topics[2], bytes32(uint256(uint160(payee))));
        assertEq(logs[1].data, abi.encode(AMOUNT));
        assertEq(IERC20(token).balanceOf(payee), AMOUNT);

        vm.prank(relayer);
        (bool again,) = token.call(call);
        assertFalse(again);
    }

    function callWithParts(bytes32 domain) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payer.privateKey, digestOf(domain));
        return abi.encodeWithSignature(
            "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
            payer.addr,
            payee,
            AMOUNT,
            0,
            NOW + 60,
            REFERENCE,
            v,
            r,
            s
        );
    }

    function callWithBytes(bytes32 domain) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payer.privateKey, digestOf(domain));
        return abi.encodeWithSignature(
            "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)",
            payer.addr,
            payee,
            AMOUNT,
            0,
            NOW + 60,
            REFERENCE,
            abi.encodePacked(r, s, v)
        );
    }

    function digestOf(bytes32 domain) private view returns (bytes32) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                ),
                payer.addr,
                payee,
                AMOUNT,
                0,
                NOW + 60,
                REFERENCE
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function domainOf(string memory name, string memory version, address token) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name)),
                keccak256(bytes(version)),
                block.chainid,
                token
            )
        );
    }
}
